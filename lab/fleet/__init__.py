"""The lab as a whole: brings the fleet of `stacks/Pulumi.lab.yaml` up on this machine, shows it, takes it down."""
