# Triton with this repository's models: TensorRT on an NVIDIA GPU, ONNX Runtime without one.
#
#   docker build -t siamese-nima .
#   docker run --rm --gpus all --shm-size=1g -p 127.0.0.1:8001:8001 -v iq-cache:/var/cache/iq siamese-nima
#
# Leave `--gpus all` out to serve on the CPU. `--build-arg DIGEST=@sha256:…` holds on to one base image.
ARG TRITON=26.09
ARG DIGEST=
FROM nvcr.io/nvidia/tritonserver:${TRITON}-py3${DIGEST}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

COPY deploy/container/requirements.txt /tmp/requirements.txt
# Into a folder of their own: what the image ships stays as it is.
RUN python3 -m pip install --no-cache-dir --no-deps --require-hashes --only-binary=:all: \
        --target=/opt/iq/lib -r /tmp/requirements.txt \
    && rm /tmp/requirements.txt \
    && install -d -o 1000 -g 1000 /var/cache/iq

COPY serving/src/iq_serving /opt/iq/lib/iq_serving
COPY tools/src/iq_tools /opt/iq/lib/iq_tools
COPY examples/photos /opt/iq/photos
COPY model_repository /models

# Operators that CuPy has compiled are kept beside the plans.
# The thresholds keep freed megabytes in the process, for the next request to take.
ENV PYTHONPATH=/opt/iq/lib \
    PYTHONUNBUFFERED=1 \
    CUPY_CACHE_DIR=/var/cache/iq/cupy \
    MALLOC_MMAP_THRESHOLD_=33554432 \
    MALLOC_TRIM_THRESHOLD_=268435456
# The user that the image brings for Triton.
USER 1000:1000
VOLUME /var/cache/iq
# HTTP, on 8000, listens inside the container only unless an argument says `--http-address=0.0.0.0`.
EXPOSE 8001 8002 8003

# The first start builds a plan, which takes minutes; later starts find it in the cache.
# A model's dead process ends Triton, and with it the container, for `--restart` to start it anew.
HEALTHCHECK --interval=10s --timeout=15s --start-period=15m --retries=3 \
    CMD ["python3", "-m", "iq_tools.health", "--end", "1"]

# Arguments of `docker run` go to tritonserver. Shared memory, model control, statistics, traces and logs
# ask for the key of IQ_ADMIN_KEY, else for a random one.
ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh", "python3", "-m", "iq_tools", "serve", "--"]
CMD ["--cache-config=local,size=268435456"]
