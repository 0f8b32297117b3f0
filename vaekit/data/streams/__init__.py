"""Images in the order a user names them: files, folders, archives, arrays, lists and stdin."""
