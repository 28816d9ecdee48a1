FROM python:3.11-slim

# Index to take torch and torchvision from, such as PyTorch's index of CPU wheels; empty: pip's own (a CUDA build, several GB).
ARG TORCH_INDEX=""

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    MUC_HOME=/data

RUN useradd --create-home --uid 10001 muc \
    && mkdir /data \
    && chown muc:muc /data

WORKDIR /app

# Dependencies before the code, so that a change of the code does not install them again. torch comes first and without
# dependencies: its own index need not hold the versions that the other pins name.
COPY requirements.txt constraints.txt ./
RUN pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} --no-deps \
        $(grep -E '^torch(vision)?==' requirements.txt) \
    && pip install -r requirements.txt -c constraints.txt

# Editable, because the demo encoders in assets/ lie beside the code and not in the package.
COPY . .
RUN pip install --no-deps -e .

USER muc
VOLUME /data
EXPOSE 8501

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=3)"]

CMD ["python", "-m", "streamlit", "run", "dashboard/server.py", "--server.address=0.0.0.0", "--server.port=8501"]
