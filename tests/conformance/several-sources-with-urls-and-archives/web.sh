echo u > u
