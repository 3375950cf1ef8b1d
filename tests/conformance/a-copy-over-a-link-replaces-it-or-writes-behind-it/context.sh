echo new > new
