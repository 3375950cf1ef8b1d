mkdir d
echo x > d/x
printf "# all\nd\n" > .dockerignore
