echo x > x; touch -d @5000 x
tar -czf tool.tgz x
rm x
touch -d @784111777 tool.tgz
