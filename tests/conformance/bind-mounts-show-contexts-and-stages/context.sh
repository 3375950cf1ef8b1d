mkdir src
echo ctx > src/a
