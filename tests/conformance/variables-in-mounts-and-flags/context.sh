mkdir src
echo 1 > src/1
