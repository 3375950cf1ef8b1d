mkdir -p other
echo 1 > other/seen
echo 2 > other/hidden
printf 'hidden\n.dockerignore\n' > other/.dockerignore
echo seen > .dockerignore
