"""What a learned reward says: why a route, which demonstrations, where the map is doubtful; and a report of it all."""
