"""From goal to production: one state machine linking the roles, and the work each request stands for."""
