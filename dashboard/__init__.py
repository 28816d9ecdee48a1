"""The Streamlit app over `muc_core`: pages and pictures, no mathematics."""
