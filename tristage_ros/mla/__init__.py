"""The MLA model (LLaMA, image and point tokens, diffusion action head): torch only, no ROS."""
