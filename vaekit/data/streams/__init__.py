"""Images in the order a user names them: files, folders, archives, lists and stdin."""
