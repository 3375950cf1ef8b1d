echo x > Dockerfile
