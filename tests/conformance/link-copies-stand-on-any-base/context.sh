mkdir -p a/b
echo x > a/b/x
