mkdir -p lib/v1
echo lib > lib/v1/so
ln -s v1 lib/current
