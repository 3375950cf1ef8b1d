mkdir -p d/sub
echo 1 > d/a.txt
echo 2 > d/b.md
echo 3 > d/sub/c.txt
echo 4 > d/sub/d.md
