echo 1 > one
echo 2 > two
echo one > .dockerignore
printf 'two\n.dockerignore\n' > ../Dockerfile.dockerignore
