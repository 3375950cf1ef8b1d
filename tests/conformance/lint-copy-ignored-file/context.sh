mkdir docs
echo x | tee secret visible > docs/secret.md
printf 'secret\n**/*.md\n' > .dockerignore
