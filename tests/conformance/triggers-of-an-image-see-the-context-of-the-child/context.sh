echo child > package.json
