echo u > u; echo v > v
