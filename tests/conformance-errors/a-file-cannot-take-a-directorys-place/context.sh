mkdir -p d; echo 1 > d/etc
