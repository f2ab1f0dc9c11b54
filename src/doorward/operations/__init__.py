"""What an operator runs on a whole installation: master keys, backups, data migration."""
