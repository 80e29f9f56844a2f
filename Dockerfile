# ROS 2 Jazzy with the simulated cell. Untried: nobody has built this image yet.
#   docker build -t tristage . && docker run --rm -it --shm-size=256m tristage
FROM ros:jazzy-ros-base
SHELL ["/bin/bash", "-c"]
WORKDIR /cell
COPY . src/tristage_ros
RUN ln -s tristage_ros/msg src/tristage_msgs && \
    apt-get update && rosdep update && rosdep install --from-paths src --ignore-src -y && rm -rf /var/lib/apt/lists/*
# A GPU wants PyPI's torch: leave the index out.
RUN python3 -m venv --system-site-packages /venv && . /venv/bin/activate && \
    pip install --no-cache-dir -r src/tristage_ros/locks/jazzy.txt --extra-index-url https://download.pytorch.org/whl/cpu
RUN . /opt/ros/jazzy/setup.bash && . /venv/bin/activate && colcon build && \
    . install/setup.bash && python3 -m tristage_ros.shadowing
RUN printf '%s\n' '. /venv/bin/activate' '. /cell/install/setup.bash' >>/root/.bashrc
CMD ["bash", "-c", ". /venv/bin/activate && . install/setup.bash && exec ros2 launch tristage_ros piper_pick.launch.py hardware:=sim"]
