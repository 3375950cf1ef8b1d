mkdir -p d1/sub d2/sub
for f in d1/x1 d1/x2 d1/sub/s1 d2/x1 d2/x2 d2/sub/s2; do echo $f > $f; done
