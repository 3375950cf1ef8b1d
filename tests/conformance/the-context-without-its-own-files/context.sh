cp ../Dockerfile Dockerfile
echo FROM scratch > Dockerfile.not
echo x > x
printf 'Dockerfile\n.dockerignore\n' > .dockerignore
