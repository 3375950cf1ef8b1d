mkdir d
echo x > d/secret
echo d/secret > .dockerignore
