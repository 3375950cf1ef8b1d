echo secret > hidden
echo '*' > .dockerignore
