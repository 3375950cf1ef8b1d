mkdir d
echo x > d/x
printf "# all\n**/x\n" > .dockerignore
