mkdir d
echo x > d/x
printf "*\n!e\n" > .dockerignore
