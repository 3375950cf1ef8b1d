echo x > package.json
