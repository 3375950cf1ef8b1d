mkdir -p a/b/c x/y
echo 1 > a/b/c/f
echo 2 > x/y/g
chmod 700 a/b
