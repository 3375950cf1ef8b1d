echo x > context
