"""The addresses."""

from django.contrib.auth.views import LoginView, LogoutView
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import path
from reports import views

urlpatterns = [
    path("", views.index),
    path("jobs/", views.jobs),
    path("start/", views.start),
    path("announce/", views.announce),
    path("accounts/login/", LoginView.as_view(), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    *staticfiles_urlpatterns(),
]
