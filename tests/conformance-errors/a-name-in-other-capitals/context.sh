echo x > README.md
