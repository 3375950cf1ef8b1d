mkdir other
echo x > other/x
echo x > other/.dockerignore
