mkdir -p d/e
echo x > d/e/x
printf "\n\nd\n" > ../Dockerfile.dockerignore
