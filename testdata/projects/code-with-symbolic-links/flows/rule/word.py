WORD = "here"
