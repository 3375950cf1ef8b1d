mkdir d
echo x > d/x
printf 'd/*\n.dockerignore\n' > .dockerignore
