"""The former address of Tune: leads there, so that old links go on working."""

import streamlit as st

st.switch_page("app_pages/tune.py")
