mkdir -p a/b
echo z > a/b/y
