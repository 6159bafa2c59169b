"""What a person signs, and what that signature then permits: packet, approval, grant."""
