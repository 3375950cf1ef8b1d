mkdir -m 750 tmp
echo x > tmp/x
