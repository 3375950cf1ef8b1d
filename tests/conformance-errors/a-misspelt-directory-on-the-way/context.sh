mkdir -p src
echo x > src/x
