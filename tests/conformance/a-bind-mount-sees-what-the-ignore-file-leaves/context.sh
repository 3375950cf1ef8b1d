mkdir d
echo 1 > d/kept
echo 2 > d/hidden
echo 3 > other
printf 'd/hidden\n.dockerignore\n' > .dockerignore
