mkdir -p src target
echo 1 > src/main
echo 2 > target/app
echo 3 > other
printf '*\n!src\n!target/app\n' > .dockerignore
