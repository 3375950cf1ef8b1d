mkdir -p other/d
echo 1 > other/d/1
echo 2 > 2
