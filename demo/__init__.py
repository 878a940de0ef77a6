"""The drawn archive: portraits of people who do not exist, spoiled files, and the commands that write them."""
