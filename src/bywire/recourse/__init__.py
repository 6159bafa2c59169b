"""From a denial to the smallest edit of desired state that would clear it; evidence is only ever made again."""
