echo x > .wh.gone
