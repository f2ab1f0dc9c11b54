"""Operations on a whole installation: master keys, backups, data migration."""
