mkdir -p a/s b/s
echo 1 > a/s/1
echo 2 > b/s/2
echo old > a/x
echo new > b/x
